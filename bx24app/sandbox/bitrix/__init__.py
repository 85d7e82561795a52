"""A strict fake of the Bitrix24 cloud: an OAuth server and portals with REST, CRM, telephony and events, all in memory.

It stands for Bitrix24 in the demo, the tests and the benchmarks. Behaviour follows the official documentation. Where
a comment begins with "S:", the fact comes from the source of the self-hosted modules instead (rest, voximplant, crm
26.x).
"""
