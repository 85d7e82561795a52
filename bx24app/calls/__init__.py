"""bx24app/calls"""
