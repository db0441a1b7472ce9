from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
    verbose_name = "Incidents"

    def ready(self) -> None:
        """Give the engine its duties, the outbox its audiences and monitors their counts."""
        from incidents.comms import audiences, holding, queries
        from irportal.outbox import engine
        from irportal.outbox.queries import on_scrape

        audiences.register()
        engine.on_turn(holding.run_due)
        on_scrape(queries.promises)
