"""bx24app/web/calls"""
