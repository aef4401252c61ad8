"""Where Faust meets Kafka: what its applications are made with. Importing this loads no Faust."""
