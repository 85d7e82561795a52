"""The process tree of `bx24app up`: supervisor, forked children, web server."""
