"""bx24app/web/base"""
