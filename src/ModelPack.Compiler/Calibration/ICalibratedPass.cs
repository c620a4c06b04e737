namespace ModelPack.Compiler.Calibration;

/// <summary>A pass that reads statistics of activations: says which, so that they can be taken beforehand (<c>modelpack calibrate</c>).</summary>
public interface ICalibratedPass
{
    /// <summary>What the pass will ask for, of the model as the passes before it leave it; in no particular order.</summary>
    IReadOnlyList<CalibrationTap> Taps(Model model);
}
