"""stub"""
import typer.core
Command=typer.core.TyperCommand
def optimise()->None:
    """x"""
