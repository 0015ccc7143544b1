"""`make deploy` and `make remove`: a stage of OpenManager on AWS, from its settings to the first answers.

Each step may be done again without harm, so that a deployment that broke off goes on with the same command.
May import infra.aws, infra.doctor and the domain.
"""
