"""The API against its description, by Schemathesis: everything it can send, against a whole stack."""
