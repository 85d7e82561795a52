"""bx24app/infra"""
