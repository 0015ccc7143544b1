"""The three TFLite models behind plain array functions. Imports telemetry and the ground floor."""
