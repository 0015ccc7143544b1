"""What people see of alerts and set about them: the API's side. Knows nothing of HTTP."""
