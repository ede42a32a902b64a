"""A systematic search for what the gate does not notice: deployments that are composed of operators and conditions."""
