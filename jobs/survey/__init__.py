"""Looks at a folder or table that somebody wants to learn from, before there is a definition: classes, sizes, columns.

What is found is a proposal: the definition it is written into says what counts.
"""
