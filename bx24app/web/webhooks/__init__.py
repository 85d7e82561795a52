"""bx24app/web/webhooks"""
