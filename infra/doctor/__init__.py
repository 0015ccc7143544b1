"""`make doctor`: what is usually wrong with an installation, and what to do about it.

A check is a function that looks at one thing of a Place and answers with findings; it raises nothing for what it finds.
May import the domain and infra.aws; infra.deploy uses its checks of the stores.
"""
