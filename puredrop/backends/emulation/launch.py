def replacements():
    return ()
