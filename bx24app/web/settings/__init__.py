"""bx24app/web/settings"""
