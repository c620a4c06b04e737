namespace ModelPack;

public static partial class ErrorCodes
{
    // MP4100-4149: whole operations on artifacts.
    public static readonly ErrorCode BadProvenance = new(4101, "an artifact's provenance record cannot be read");
    public static readonly ErrorCode NotACompiledArtifact = new(4102, "the operation needs an artifact made by compile");
    public static readonly ErrorCode OutputNotWritable = new(4104, "the output cannot be written");
    public static readonly ErrorCode OutputIsInput = new(4105, "the output would overwrite an input");
    public static readonly ErrorCode NotTheOriginal = new(4106, "the file given as the original is not what the artifact was made from");
    public static readonly ErrorCode ExportNotPossible = new(4107, "the artifact cannot be exported to that format");
    public static readonly ErrorCode UnknownTensor = new(4108, "there is no tensor of that name");
    public static readonly ErrorCode CompileNotPossible = new(4110, "the input is of a kind that is packed but not compiled");
    public static readonly ErrorCode BadClassName = new(4111, "the class to write for a model has a name that C# does not take");
    public static readonly ErrorCode BadBenchHistory = new(4112, "a history of measurements that cannot be read");
    public static readonly ErrorCode BadTuneFile = new(4113, "a file that should hold the front of a search and does not");
    public static readonly ErrorCode NotLoadable = new(4114, "something in a model that another runtime does not load, or takes for something else");
    public static readonly ErrorCode RowsOutOfRange = new(4109, "a tensor does not have the rows asked for");
    public static readonly ErrorCode NoGenAiDecoder = new(4116, "an artifact without a decoder of the kind that ONNX Runtime GenAI runs");
    public static readonly ErrorCode ActivationScaleMissing = new(4115, "a layer without the constant scale of its activations that the checkpoint means it to have");
    public static readonly ErrorCode OutputBusy = new(4120, "another process seems to be writing the same output");
}
