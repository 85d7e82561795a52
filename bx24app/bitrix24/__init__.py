"""EDGE: everything that speaks Bitrix24. Knows neither tables, nor Flask, nor Mango."""
