"""bx24app/calls/reconciliation"""
