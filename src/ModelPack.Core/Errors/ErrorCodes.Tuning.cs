namespace ModelPack;

public static partial class ErrorCodes
{
    // MP2230-2239: the search for an encoding per tensor.
    public static readonly ErrorCode TargetOutOfReach = new(2230, "no choice of encodings reaches the target");
    public static readonly ErrorCode NothingToTune = new(2231, "a model without weights that could be encoded in several ways");
    public static readonly ErrorCode BadTuneTarget = new(2232, "a target of the search that cannot be understood");
}
