namespace ModelPack;

public static partial class ErrorCodes
{
    // MP5000-5049: opening and running models.
    public static readonly ErrorCode SessionNotCreated = new(5001, "ONNX Runtime cannot load the model");
    public static readonly ErrorCode ArtifactWithoutGraph = new(5002, "the artifact holds no executable graph");
    public static readonly ErrorCode BadPlan = new(5003, "the execution plan of the artifact is missing or does not fit it");
    public static readonly ErrorCode BadInput = new(5004, "an input has a wrong name, element type or shape");
    public static readonly ErrorCode RunFailed = new(5005, "ONNX Runtime failed while running the model");
    public static readonly ErrorCode BadOutput = new(5006, "an output was asked for that the model does not have, or in a type it does not have");
    public static readonly ErrorCode BadProfile = new(5007, "a file is not a hardware profile, or its numbers make no sense");

    // MP5090-5099: weights kept in the form in which they are used.
    public static readonly ErrorCode PreparedDamaged = new(5090, "a file of prepared weights is not what was written");
}
