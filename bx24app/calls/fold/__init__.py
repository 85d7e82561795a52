"""bx24app/calls/fold"""
