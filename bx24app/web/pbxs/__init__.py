"""bx24app/web/pbxs"""
