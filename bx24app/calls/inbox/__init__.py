"""bx24app/calls/inbox"""
