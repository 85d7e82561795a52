"""bx24app/web/monitoring"""
