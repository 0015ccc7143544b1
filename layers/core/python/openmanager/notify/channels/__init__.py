"""One file a channel: the request, or mail, that a notice becomes there. Pure; what sends them is notify.send."""
