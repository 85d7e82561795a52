"""bx24app/web/overview"""
