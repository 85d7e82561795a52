"""bx24app/web/rules"""
