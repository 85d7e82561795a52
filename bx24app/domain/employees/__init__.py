"""bx24app/domain/employees"""
