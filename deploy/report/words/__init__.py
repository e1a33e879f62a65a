"""What the page and the terminal have in common: figures as text, sentences, markup.

In: a report as it was read. Out: text.
"""
