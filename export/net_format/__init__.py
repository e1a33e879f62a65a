"""lava-dl's `.net` files, read without torch or Lava, and written.

In: a file, or a program. Out: a program, or a file.
"""
