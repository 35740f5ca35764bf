-- Run once by PostgreSQL's container, on an empty data folder.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
CREATE DATABASE prefect;
