"""Pages to look at races and descents in: what is drawn, and the templates that it is drawn by."""

from fallline.pages.charts import FIGURES as FIGURES
from fallline.pages.charts import Figure as Figure
from fallline.pages.charts import figure as figure
from fallline.pages.report import write_report as write_report
