namespace ModelPack;

public static partial class ErrorCodes
{
    // MP6000-6099: compiling in the build of a project. MP6000 is the code of warnings, which have no codes of their own.
    public static readonly ErrorCode CompileWarning = new(6000, "a warning of the compilation of a model");
    public static readonly ErrorCode ToolFailed = new(6001, "the compiler could not be started, or ended without a result");
    public static readonly ErrorCode ItemsCollide = new(6002, "two PackedModel items would be copied to the same place or make the same class");
    public static readonly ErrorCode BadItem = new(6003, "a PackedModel item with metadata that contradict each other or cannot be read");
    public static readonly ErrorCode LossTooLarge = new(6004, "a compiled model that loses more on its calibration data than MaxLoss allows");
}
