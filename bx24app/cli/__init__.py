"""bx24app/cli"""
