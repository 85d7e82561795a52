"""bx24app/calls/journal"""
