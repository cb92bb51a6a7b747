"""Weather at the site: shipped or own series, moved to the monthly normals of Narvik, laid over a run."""

from kvandal.climate.shift import narvik_normals_c, shifted
from kvandal.climate.weather import Weather, load_weather, normal_year
from kvandal.climate.wet_bulb import wet_bulb_c

__all__ = ["Weather", "load_weather", "narvik_normals_c", "normal_year", "shifted", "wet_bulb_c"]
