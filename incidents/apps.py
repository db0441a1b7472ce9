from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
    verbose_name = "Incidents"

    def ready(self) -> None:
        """Give the engine its duties and the outbox its audiences."""
        from incidents.comms import audiences, holding
        from irportal.outbox import engine

        audiences.register()
        engine.on_turn(holding.run_due)
