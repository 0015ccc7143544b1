"""The whole of OpenManager on one machine, with real stores and the routes of serverless.yml.

May import the functions and the domain; nothing imports this but tests and benchmarks.
"""
