"""bx24app/infra/processes"""
