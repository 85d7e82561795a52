"""bx24app/calls/statistics"""
