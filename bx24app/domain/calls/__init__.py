"""bx24app/domain/calls"""
