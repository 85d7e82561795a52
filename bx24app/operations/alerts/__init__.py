"""bx24app/operations/alerts"""
