"""bx24app/web/launch"""
