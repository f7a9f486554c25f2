"""Initial weights: LeCun, He and Xavier, and a choice per layer from the activation that follows it."""

from fallline.init.model import Choice as Choice
from fallline.init.model import Report as Report
from fallline.init.model import initialise as initialise
from fallline.init.schemes import Scheme as Scheme
from fallline.init.schemes import he_normal as he_normal
from fallline.init.schemes import he_uniform as he_uniform
from fallline.init.schemes import lecun_normal as lecun_normal
from fallline.init.schemes import lecun_uniform as lecun_uniform
from fallline.init.schemes import xavier_normal as xavier_normal
from fallline.init.schemes import xavier_uniform as xavier_uniform
