"""Who may do what: roles, passwords, tokens, API keys, logging in.

Imports stores and what lies below; knows no HTTP.
"""
