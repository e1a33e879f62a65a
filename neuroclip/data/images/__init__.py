"""Data sets of still images: folders, zip files, torchvision's layouts.

In: paths and names. Out: labelled pictures, decoded one at a time.
"""
