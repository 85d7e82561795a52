"""bx24app/operations"""
