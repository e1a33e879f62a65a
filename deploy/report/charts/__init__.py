"""The pictures of the page, drawn as SVG.

In: numbers. Out: SVG elements.
"""
