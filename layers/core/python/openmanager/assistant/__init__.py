"""Questions in Korean and English, answered from what our own routes answer: no guess, and a source to every figure.

Understanding and answering are pure; `tools` calls the domain, `conversation` puts the three together.
"""
