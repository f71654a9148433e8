"""Pictures, volumes and tables as people bring them: perhaps broken, hostile, or with names in them.

Whatever is wrong with a file is one sentence; nothing outside of the folder that was named is opened.
"""
