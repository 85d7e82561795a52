"""bx24app/calls/recordings"""
